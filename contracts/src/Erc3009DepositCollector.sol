// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {IDepositCollector} from "./IDepositCollector.sol";

/// @title What the collector needs of an EIP-3009 token.
interface IReceiveWithAuthorization {
    /// @notice The form that the EIP defines.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice The form for signatures that are not 65 bytes: those of contract wallets.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) external;
}

/// @title Deposits by EIP-3009: the payer signs, anyone sends, and the payer needs no gas.
/// @notice The authorization's nonce is `keccak256(abi.encode(channelId, salt))`: a signature is good for one channel,
///         once. `collectorData` is `abi.encode(validAfter, validBefore, salt, signature)`.
contract Erc3009DepositCollector is IDepositCollector {
    using SafeERC20 for IERC20;

    /// @notice The only caller: it tells the truth about the channel.
    address public immutable escrow;

    /// @notice Someone other than the escrow called.
    error OnlyEscrow();
    /// @notice There is no escrow at that address to serve.
    error InvalidEscrow();

    /// @param escrow_ The escrow that this collector serves.
    constructor(address escrow_) {
        if (escrow_ == address(0)) revert InvalidEscrow();
        escrow = escrow_;
    }

    /// @inheritdoc IDepositCollector
    function collect(
        address payer,
        address token,
        uint256 amount,
        bytes32 channelId,
        bytes calldata collectorData
    ) external {
        if (msg.sender != escrow) revert OnlyEscrow();
        (uint256 validAfter, uint256 validBefore, uint256 salt, bytes memory signature) =
            abi.decode(collectorData, (uint256, uint256, uint256, bytes));
        bytes32 nonce = keccak256(abi.encode(channelId, salt));
        _receive(IReceiveWithAuthorization(token), payer, amount, validAfter, validBefore, nonce, signature);
        IERC20(token).safeTransfer(msg.sender, amount);
    }

    /// @dev Every EIP-3009 token has the form with v, r and s; only newer ones have the other.
    function _receive(
        IReceiveWithAuthorization token,
        address payer,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) private {
        if (signature.length != 65) {
            token.receiveWithAuthorization(
                payer, address(this), amount, validAfter, validBefore, nonce, signature
            );
            return;
        }
        (uint8 v, bytes32 r, bytes32 s) = ECDSA.parse(signature);
        token.receiveWithAuthorization(payer, address(this), amount, validAfter, validBefore, nonce, v, r, s);
    }
}
