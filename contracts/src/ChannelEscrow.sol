// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC5267} from "@openzeppelin/contracts/interfaces/IERC5267.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {IChannelEscrow} from "./IChannelEscrow.sol";
import {IDepositCollector} from "./IDepositCollector.sol";

/// @title One-way payment channels over ERC-20 tokens.
/// @notice A payer deposits once, then signs vouchers with a rising total; the receiver claims many channels' last
///         vouchers in one call. What is not claimed goes back to the payer, by agreement or after a delay.
/// @dev No owner, no pause, no upgrade. Nothing here depends on where the code lies: the domain separator is made of
///      the chain id and the address at each call, so the same runtime code works at any address and after a fork.
///      Always, for each token: deposits = paid to receivers + given back to payers + held.
contract ChannelEscrow is IChannelEscrow, IERC5267, Multicall, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev Never claimed more than the balance: a balance of zero means that nothing was ever claimed.
    struct Channel {
        uint128 balance;
        uint128 totalClaimed;
    }

    struct Receiver {
        uint128 totalClaimed;
        uint128 totalSettled;
    }

    /// @dev A withdrawal and the refund nonce share a slot: a refund has to touch both.
    struct Exit {
        uint128 amount;
        uint40 initiatedAt;
        uint88 refundNonce;
    }

    /// @notice The shortest delay of a withdrawal.
    uint256 public constant MIN_WITHDRAW_DELAY = 15 minutes;
    /// @notice The longest delay of a withdrawal.
    uint256 public constant MAX_WITHDRAW_DELAY = 30 days;

    /// @notice EIP-712 type hash of a channel.
    bytes32 public constant CHANNEL_CONFIG_TYPEHASH = keccak256(
        "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
    );
    /// @notice EIP-712 type hash of a voucher.
    bytes32 public constant VOUCHER_TYPEHASH =
        keccak256("Voucher(bytes32 channelId,uint128 maxClaimableAmount)");
    /// @notice EIP-712 type hash of a refund.
    bytes32 public constant REFUND_TYPEHASH =
        keccak256("Refund(bytes32 channelId,uint256 nonce,uint128 amount)");
    /// @notice EIP-712 type hash of one row of a signed claim.
    bytes32 public constant CLAIM_ENTRY_TYPEHASH =
        keccak256("ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)");
    /// @notice EIP-712 type hash of a signed claim.
    bytes32 public constant CLAIM_BATCH_TYPEHASH = keccak256(
        "ClaimBatch(ClaimEntry[] claims)ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"
    );

    string private constant NAME = "x402 Batch Settlement";
    string private constant VERSION = "1";
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

    /// @inheritdoc IChannelEscrow
    mapping(bytes32 channelId => Channel) public channels;
    /// @inheritdoc IChannelEscrow
    mapping(address receiver => mapping(address token => Receiver)) public receivers;
    mapping(bytes32 channelId => Exit) private _exits;

    /// @inheritdoc IChannelEscrow
    function deposit(
        ChannelConfig calldata config,
        uint128 amount,
        address collector,
        bytes calldata collectorData
    ) external nonReentrant {
        if (amount == 0) revert ZeroDeposit();
        _requireSound(config);
        bytes32 channelId = _channelId(_domainSeparator(), config);
        Channel memory channel = channels[channelId];
        if (amount > type(uint128).max - channel.balance) revert DepositOverflow();

        uint128 newBalance = channel.balance + amount;
        channels[channelId].balance = newBalance;
        if (channel.balance == 0) emit ChannelCreated(channelId, config);
        emit Deposited(channelId, msg.sender, amount, newBalance);

        _collect(config, amount, channelId, collector, collectorData);
    }

    /// @inheritdoc IChannelEscrow
    function claim(VoucherClaim[] calldata voucherClaims) external nonReentrant {
        uint256 count = voucherClaims.length;
        if (count == 0) revert EmptyBatch();
        bytes32 domain = _domainSeparator();
        for (uint256 i = 0; i < count; ++i) {
            VoucherClaim calldata row = voucherClaims[i];
            ChannelConfig calldata config = row.voucher.channel;
            if (msg.sender != config.receiver && msg.sender != config.receiverAuthorizer) {
                revert NotAuthorizedToClaim();
            }
            _claim(domain, _channelId(domain, config), row);
        }
    }

    /// @inheritdoc IChannelEscrow
    function claimWithSignature(VoucherClaim[] calldata voucherClaims, bytes calldata authorizerSignature)
        external
        nonReentrant
    {
        uint256 count = voucherClaims.length;
        if (count == 0) revert EmptyBatch();
        bytes32 domain = _domainSeparator();
        address authorizer = voucherClaims[0].voucher.channel.receiverAuthorizer;
        bytes32[] memory entries = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            VoucherClaim calldata row = voucherClaims[i];
            if (row.voucher.channel.receiverAuthorizer != authorizer) revert NotReceiverAuthorizer();
            bytes32 channelId = _channelId(domain, row.voucher.channel);
            entries[i] = _entryHash(channelId, row);
            _claim(domain, channelId, row);
        }
        // After the rows, so that each channel's id is hashed only once; a bad signature undoes them.
        if (!_signedBy(authorizer, _batchDigest(domain, entries), authorizerSignature)) {
            revert InvalidSignature();
        }
    }

    /// @inheritdoc IChannelEscrow
    function settle(address receiver, address token) external nonReentrant {
        Receiver memory account = receivers[receiver][token];
        uint128 amount = account.totalClaimed - account.totalSettled;
        if (amount == 0) return;
        receivers[receiver][token].totalSettled = account.totalClaimed;
        emit Settled(receiver, token, msg.sender, amount);
        IERC20(token).safeTransfer(receiver, amount);
    }

    /// @inheritdoc IChannelEscrow
    function refund(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        if (msg.sender != config.receiver && msg.sender != config.receiverAuthorizer) {
            revert NotAuthorizedToRefund();
        }
        _refund(config, _channelId(_domainSeparator(), config), amount);
    }

    /// @inheritdoc IChannelEscrow
    function refundWithSignature(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 nonce,
        bytes calldata receiverAuthorizerSignature
    ) external nonReentrant {
        bytes32 domain = _domainSeparator();
        bytes32 channelId = _channelId(domain, config);
        if (nonce != _exits[channelId].refundNonce) revert InvalidRefundNonce();
        bytes32 digest = _refundDigest(domain, channelId, nonce, amount);
        if (!_signedBy(config.receiverAuthorizer, digest, receiverAuthorizerSignature)) {
            revert InvalidSignature();
        }
        _refund(config, channelId, amount);
    }

    /// @inheritdoc IChannelEscrow
    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        if (msg.sender != config.payer && msg.sender != config.payerAuthorizer) {
            revert NotAuthorizedToInitiateWithdraw();
        }
        bytes32 channelId = _channelId(_domainSeparator(), config);
        Channel memory channel = channels[channelId];
        Exit storage exit = _exits[channelId];
        if (exit.initiatedAt != 0) revert WithdrawalAlreadyPending();
        if (amount == 0) revert NothingToWithdraw();
        if (amount > channel.balance - channel.totalClaimed) revert WithdrawAmountExceedsAvailable();

        exit.amount = amount;
        exit.initiatedAt = uint40(block.timestamp);
        emit WithdrawInitiated(channelId, amount, uint40(block.timestamp) + config.withdrawDelay);
    }

    /// @inheritdoc IChannelEscrow
    function finalizeWithdraw(ChannelConfig calldata config) external nonReentrant {
        if (msg.sender != config.payer && msg.sender != config.payerAuthorizer) {
            revert NotAuthorizedToFinalizeWithdraw();
        }
        bytes32 channelId = _channelId(_domainSeparator(), config);
        Exit memory exit = _exits[channelId];
        if (exit.initiatedAt == 0) revert WithdrawalNotPending();
        if (block.timestamp < uint256(exit.initiatedAt) + config.withdrawDelay) {
            revert WithdrawDelayNotElapsed();
        }

        Channel memory channel = channels[channelId];
        uint128 amount = _least(exit.amount, channel.balance - channel.totalClaimed);
        _exits[channelId] = Exit({amount: 0, initiatedAt: 0, refundNonce: exit.refundNonce});
        emit WithdrawFinalized(channelId, msg.sender, amount);
        if (amount != 0) _giveBack(config, channelId, channel, amount);
    }

    /// @inheritdoc IChannelEscrow
    function pendingWithdrawals(bytes32 channelId)
        external
        view
        returns (uint128 amount, uint40 initiatedAt)
    {
        Exit storage exit = _exits[channelId];
        return (exit.amount, exit.initiatedAt);
    }

    /// @inheritdoc IChannelEscrow
    function refundNonce(bytes32 channelId) external view returns (uint256) {
        return _exits[channelId].refundNonce;
    }

    /// @inheritdoc IChannelEscrow
    function getChannelId(ChannelConfig calldata config) external view returns (bytes32) {
        return _channelId(_domainSeparator(), config);
    }

    /// @inheritdoc IChannelEscrow
    function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount) external view returns (bytes32) {
        return _voucherDigest(_domainSeparator(), channelId, maxClaimableAmount);
    }

    /// @inheritdoc IChannelEscrow
    function getRefundDigest(bytes32 channelId, uint256 nonce, uint128 amount)
        external
        view
        returns (bytes32)
    {
        return _refundDigest(_domainSeparator(), channelId, nonce, amount);
    }

    /// @inheritdoc IChannelEscrow
    function getClaimBatchDigest(VoucherClaim[] calldata voucherClaims) external view returns (bytes32) {
        bytes32 domain = _domainSeparator();
        bytes32[] memory entries = new bytes32[](voucherClaims.length);
        for (uint256 i = 0; i < entries.length; ++i) {
            VoucherClaim calldata row = voucherClaims[i];
            entries[i] = _entryHash(_channelId(domain, row.voucher.channel), row);
        }
        return _batchDigest(domain, entries);
    }

    /// @inheritdoc IERC5267
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        )
    {
        // 0x0f: name, version, chain id and verifying contract are part of the domain; a salt is not.
        return (hex"0f", NAME, VERSION, block.chainid, address(this), bytes32(0), new uint256[](0));
    }

    /// @dev The tokens of one deposit. Exactly the amount has to arrive: less, and the escrow owes what it does not
    ///      hold; more, and the rest would be nobody's.
    function _collect(
        ChannelConfig calldata config,
        uint128 amount,
        bytes32 channelId,
        address collector,
        bytes calldata collectorData
    ) private {
        IERC20 token = IERC20(config.token);
        uint256 held = token.balanceOf(address(this));
        if (collector != address(0)) {
            IDepositCollector(collector).collect(config.payer, config.token, amount, channelId, collectorData);
        } else if (msg.sender == config.payer) {
            token.safeTransferFrom(msg.sender, address(this), amount);
        } else {
            // An approval names no channel: only the payer may say which one it is for.
            revert InvalidCollector();
        }
        if (token.balanceOf(address(this)) != held + amount) revert DepositCollectionFailed();
    }

    /// @dev One row of a claim; the caller's right to claim is checked by who calls this.
    function _claim(bytes32 domain, bytes32 channelId, VoucherClaim calldata row) private {
        uint128 total = row.totalClaimed;
        Channel memory channel = channels[channelId];
        if (total <= channel.totalClaimed) return;
        if (total > row.voucher.maxClaimableAmount) revert ClaimExceedsCeiling();
        if (total > channel.balance) revert ClaimExceedsBalance();

        ChannelConfig calldata config = row.voucher.channel;
        bytes32 digest = _voucherDigest(domain, channelId, row.voucher.maxClaimableAmount);
        if (!_signedByPayer(config, digest, row.signature)) revert InvalidSignature();

        uint128 amount = total - channel.totalClaimed;
        channels[channelId].totalClaimed = total;
        receivers[config.receiver][config.token].totalClaimed += amount;
        emit Claimed(channelId, msg.sender, amount, total);
    }

    /// @dev The nonce advances even if there is nothing to give back: a signed refund is spent by any refund.
    function _refund(ChannelConfig calldata config, bytes32 channelId, uint128 amount) private {
        if (amount == 0) revert ZeroRefund();
        Channel memory channel = channels[channelId];
        Exit memory exit = _exits[channelId];
        uint128 paid = _least(amount, channel.balance - channel.totalClaimed);

        exit.refundNonce += 1;
        if (paid < exit.amount) {
            exit.amount -= paid;
        } else {
            exit.amount = 0;
            exit.initiatedAt = 0;
        }
        _exits[channelId] = exit;
        if (paid == 0) return;
        emit Refunded(channelId, msg.sender, paid);
        _giveBack(config, channelId, channel, paid);
    }

    /// @dev Pay the payer out of what is not claimed. Callers hold the reentrancy lock.
    function _giveBack(
        ChannelConfig calldata config,
        bytes32 channelId,
        Channel memory channel,
        uint128 amount
    ) private {
        uint128 left = channel.balance - amount;
        channels[channelId].balance = left;
        if (left == 0) emit ChannelClosed(channelId, config);
        IERC20(config.token).safeTransfer(config.payer, amount);
    }

    /// @dev Checked when money comes in. A config that was never checked has no money, so nothing else has to look.
    function _requireSound(ChannelConfig calldata config) private view {
        if (
            config.payer == address(0) || config.receiver == address(0)
                || config.receiverAuthorizer == address(0) || config.token == address(0)
                || config.payer == address(this) || config.receiver == address(this)
        ) revert InvalidChannel();
        if (config.withdrawDelay < MIN_WITHDRAW_DELAY || config.withdrawDelay > MAX_WITHDRAW_DELAY) {
            revert WithdrawDelayOutOfRange();
        }
    }

    /// @dev A payer that names a key is bound by that key alone.
    function _signedByPayer(ChannelConfig calldata config, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool)
    {
        if (config.payerAuthorizer == address(0)) return _signedBy(config.payer, digest, signature);
        return _recover(digest, signature) == config.payerAuthorizer;
    }

    /// @dev The account's own key is asked before its code: an account that gets code later (EIP-7702) cannot take
    ///      back what its key has signed.
    function _signedBy(address account, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool)
    {
        if (account == address(0)) return false;
        if (_recover(digest, signature) == account) return true;
        return SignatureChecker.isValidERC1271SignatureNowCalldata(account, digest, signature);
    }

    function _domainSeparator() private view returns (bytes32) {
        return keccak256(
            abi.encode(
                DOMAIN_TYPEHASH,
                keccak256(bytes(NAME)),
                keccak256(bytes(VERSION)),
                block.chainid,
                address(this)
            )
        );
    }

    /// @dev Zero for a signature that is not 65 bytes, has a high s, or fits no key.
    function _recover(bytes32 digest, bytes calldata signature) private pure returns (address signer) {
        (signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
    }

    function _channelId(bytes32 domain, ChannelConfig calldata config) private pure returns (bytes32) {
        return
            MessageHashUtils.toTypedDataHash(domain, keccak256(abi.encode(CHANNEL_CONFIG_TYPEHASH, config)));
    }

    function _voucherDigest(bytes32 domain, bytes32 channelId, uint128 maxClaimableAmount)
        private
        pure
        returns (bytes32)
    {
        return MessageHashUtils.toTypedDataHash(
            domain, keccak256(abi.encode(VOUCHER_TYPEHASH, channelId, maxClaimableAmount))
        );
    }

    function _refundDigest(bytes32 domain, bytes32 channelId, uint256 nonce, uint128 amount)
        private
        pure
        returns (bytes32)
    {
        return MessageHashUtils.toTypedDataHash(
            domain, keccak256(abi.encode(REFUND_TYPEHASH, channelId, nonce, amount))
        );
    }

    function _entryHash(bytes32 channelId, VoucherClaim calldata row) private pure returns (bytes32) {
        return keccak256(
            abi.encode(CLAIM_ENTRY_TYPEHASH, channelId, row.voucher.maxClaimableAmount, row.totalClaimed)
        );
    }

    function _batchDigest(bytes32 domain, bytes32[] memory entries) private pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(
            domain, keccak256(abi.encode(CLAIM_BATCH_TYPEHASH, keccak256(abi.encodePacked(entries))))
        );
    }

    function _least(uint128 a, uint128 b) private pure returns (uint128) {
        return a < b ? a : b;
    }
}
