// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title aiUSD: a dollar that agents pay with.
/// @notice ERC-20 with 6 decimals, ERC-2612 permits and ERC-3009 authorisations (random nonces), so that
/// nobody who pays with it needs the chain's own coin. EIP-712 domain: name "aiUSD", version "1".
/// @dev Every role comes from the `Authority` given to the constructor. Nobody can move or destroy another
/// account's tokens: an order can stop an account, for a time that is written down, and no more.
contract AIUSD is ERC20, ERC20Permit, ERC3009, AccessManaged, Pausable {
    /// @notice An order that stops an account.
    /// @param order Hash of the document that orders it.
    /// @param until When it ends by itself, in seconds since 1970.
    struct Freeze {
        bytes32 order;
        uint48 until;
    }

    /// @notice The longest time that one order can stop an account without being given again.
    uint256 public constant FREEZE_MAX = 366 days;

    mapping(address account => Freeze) private _freezes;

    /// @notice `account` can neither send nor receive before `until`, by the order with this hash.
    event Frozen(address indexed account, bytes32 indexed order, uint48 until, address by);

    /// @notice The order was lifted before its end.
    event Unfrozen(address indexed account, bytes32 indexed order, address by);

    /// @notice The account is stopped by `order` until then.
    error AccountFrozen(address account, bytes32 order, uint48 until);

    /// @notice The end lies in the past, too far ahead, or before the end of the order in force.
    error FreezeEndRefused(uint48 until, uint256 earliest, uint256 latest);

    /// @notice The account is not stopped by this order now.
    error FreezeUnknown(address account, bytes32 order);

    /// @notice A freeze names its order and an account that could hold tokens.
    error FreezeIncomplete(address account, bytes32 order);

    /// @param authority The `Authority` that hands out the roles.
    constructor(address authority) ERC20("aiUSD", "aiUSD") ERC20Permit("aiUSD") AccessManaged(authority) {}

    /// @notice Make new tokens. Role: minter.
    /// @param to Who receives them.
    /// @param value How many, in millionths of a dollar.
    function mint(address to, uint256 value) external restricted {
        _mint(to, value);
    }

    /// @notice Destroy tokens of the caller's own. Role: burner.
    /// @param value How many, in millionths of a dollar.
    function burn(uint256 value) external restricted {
        _burn(_msgSender(), value);
    }

    /// @notice Stop every movement, minting and burning. Role: pauser.
    function pause() external restricted {
        _pause();
    }

    /// @notice Let tokens move again. Role: pauser.
    function unpause() external restricted {
        _unpause();
    }

    /// @notice Stop one account until a given time; giving an order again, or another one, can only make
    /// it longer. Role: freezer.
    /// @param account Who can then neither send nor receive.
    /// @param order Hash of the document that orders it.
    /// @param until When it ends by itself, in seconds since 1970; at most `FREEZE_MAX` from now.
    function freeze(address account, bytes32 order, uint48 until) external restricted {
        if (account == address(0) || order == 0) revert FreezeIncomplete(account, order);
        uint256 inForce = _freezes[account].until;
        uint256 earliest = inForce > block.timestamp ? inForce : block.timestamp + 1;
        uint256 latest = block.timestamp + FREEZE_MAX;
        if (until < earliest || until > latest) revert FreezeEndRefused(until, earliest, latest);
        _freezes[account] = Freeze(order, until);
        emit Frozen(account, order, until, _msgSender());
    }

    /// @notice End the freeze of an account early. Role: freezer.
    /// @param account Who may send and receive again.
    /// @param order The order in force, so that no other one is lifted by mistake.
    function unfreeze(address account, bytes32 order) external restricted {
        Freeze memory found = _freezes[account];
        if (found.order != order || found.until <= block.timestamp) revert FreezeUnknown(account, order);
        delete _freezes[account];
        emit Unfrozen(account, order, _msgSender());
    }

    /// @notice The order that stops an account now.
    /// @return order Its hash, or 0 if none is in force.
    /// @return until When it ends by itself, or 0.
    function freezeOf(address account) external view returns (bytes32 order, uint48 until) {
        Freeze memory found = _freezes[account];
        return found.until > block.timestamp ? (found.order, found.until) : (bytes32(0), 0);
    }

    /// @notice As ERC-3009's function, with the signature as bytes: that of a key (r, s, v), or whatever the
    /// contract at `from` accepts by ERC-1271.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        bytes32 kind = TRANSFER_WITH_AUTHORIZATION_TYPEHASH;
        bytes32 message = keccak256(abi.encode(kind, from, to, value, validAfter, validBefore, nonce));
        _requireSigned(from, message, signature);
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice As ERC-3009's function, with the signature as bytes. Only `to` may call it.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        if (to != _msgSender()) revert ERC20InvalidReceiver(to);
        bytes32 kind = RECEIVE_WITH_AUTHORIZATION_TYPEHASH;
        bytes32 message = keccak256(abi.encode(kind, from, to, value, validAfter, validBefore, nonce));
        _requireSigned(from, message, signature);
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice As ERC-3009's function, with the signature as bytes.
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes calldata signature) external {
        bytes32 message = keccak256(abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce));
        _requireSigned(authorizer, message, signature);
        _cancelAuthorization(authorizer, nonce);
    }

    /// @notice The version of the EIP-712 domain, for callers that ask as they ask other dollars.
    function version() external pure returns (string memory) {
        return "1";
    }

    /// @notice Millionths of a dollar are the smallest unit.
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @dev Every movement comes through here: transfers of every kind, minting, burning.
    function _update(address from, address to, uint256 value) internal override whenNotPaused {
        _requireFree(from);
        _requireFree(to);
        super._update(from, to, value);
    }

    function _requireFree(address account) private view {
        uint48 until = _freezes[account].until;
        if (until > block.timestamp) revert AccountFrozen(account, _freezes[account].order, until);
    }

    /// @dev A key's own signature always counts, also where code was delegated to its account (EIP-7702), as
    /// it does for the functions that take (v, r, s).
    function _requireSigned(address account, bytes32 message, bytes calldata signature) private view {
        bytes32 digest = _hashTypedDataV4(message);
        (address signer, ECDSA.RecoverError fault,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (fault == ECDSA.RecoverError.NoError && signer == account) return;
        if (!SignatureChecker.isValidERC1271SignatureNowCalldata(account, digest, signature)) {
            revert ERC3009InvalidSignature();
        }
    }
}
