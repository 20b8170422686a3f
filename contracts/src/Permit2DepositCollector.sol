// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

import {IDepositCollector} from "./IDepositCollector.sol";

/// @title What the collector needs of Permit2.
interface ISignatureTransfer {
    /// @notice Which token, and how much of it at most.
    struct TokenPermissions {
        address token;
        uint256 amount;
    }

    /// @notice The signed permit.
    struct PermitTransferFrom {
        TokenPermissions permitted;
        uint256 nonce;
        uint256 deadline;
    }

    /// @notice Where to, and how much.
    struct SignatureTransferDetails {
        address to;
        uint256 requestedAmount;
    }

    /// @notice Move tokens by a signature that also covers `witness`; the caller is the permit's spender.
    function permitWitnessTransferFrom(
        PermitTransferFrom memory permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes32 witness,
        string calldata witnessTypeString,
        bytes calldata signature
    ) external;
}

/// @title Deposits by Permit2: for tokens without EIP-3009, after one approval of Permit2.
/// @notice The payer's signature covers the channel as witness, so it is good for one channel, once. `collectorData` is
///         `abi.encode(nonce, deadline, signature, permit)`; `permit` is empty, or the EIP-2612 approval of Permit2 as
///         `abi.encode(value, deadline, v, r, s)`.
contract Permit2DepositCollector is IDepositCollector {
    /// @notice EIP-712 type hash of the witness.
    bytes32 public constant DEPOSIT_WITNESS_TYPEHASH = keccak256("DepositWitness(bytes32 channelId)");

    /// @notice The rest of the permit's EIP-712 type, from the witness on.
    string public constant WITNESS_TYPE_STRING =
        "DepositWitness witness)DepositWitness(bytes32 channelId)TokenPermissions(address token,uint256 amount)";

    /// @notice The only caller: it tells the truth about the channel.
    address public immutable escrow;
    /// @notice The Permit2 contract of this chain.
    ISignatureTransfer public immutable permit2;

    /// @notice Someone other than the escrow called.
    error OnlyEscrow();
    /// @notice There is no escrow at that address to serve.
    error InvalidEscrow();
    /// @notice There is no Permit2 at that address.
    error InvalidPermit2();

    /// @param escrow_ The escrow that this collector serves.
    /// @param permit2_ The Permit2 contract of this chain.
    constructor(address escrow_, address permit2_) {
        if (escrow_ == address(0)) revert InvalidEscrow();
        if (permit2_ == address(0)) revert InvalidPermit2();
        escrow = escrow_;
        permit2 = ISignatureTransfer(permit2_);
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
        (uint256 nonce, uint256 deadline, bytes memory signature, bytes memory permit) =
            abi.decode(collectorData, (uint256, uint256, bytes, bytes));
        if (permit.length != 0) _approve(token, payer, permit);
        permit2.permitWitnessTransferFrom(
            ISignatureTransfer.PermitTransferFrom({
                permitted: ISignatureTransfer.TokenPermissions({token: token, amount: amount}),
                nonce: nonce,
                deadline: deadline
            }),
            ISignatureTransfer.SignatureTransferDetails({to: msg.sender, requestedAmount: amount}),
            payer,
            keccak256(abi.encode(DEPOSIT_WITNESS_TYPEHASH, channelId)),
            WITNESS_TYPE_STRING,
            signature
        );
    }

    /// @dev Fails in silence: whoever sees the permit can use it first, and then the approval is there all the same.
    ///      If it is not, the transfer fails.
    function _approve(address token, address payer, bytes memory permit) private {
        (uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) =
            abi.decode(permit, (uint256, uint256, uint8, bytes32, bytes32));
        try IERC20Permit(token).permit(payer, address(permit2), value, deadline, v, r, s) {} catch {}
    }
}
